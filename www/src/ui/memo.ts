/** A component that is drawn again only when its props change. */
import { Component, h, type FunctionComponent } from 'preact';

export function memo<P extends object>(Inner: FunctionComponent<P>): FunctionComponent<P> {
  class Memo extends Component<P> {
    override shouldComponentUpdate(next: P): boolean {
      const before = new Map(Object.entries(this.props));
      return Object.entries(next).some(([name, value]) => before.get(name) !== value);
    }
    override render(props: P) {
      return h(Inner, props);
    }
  }
  return (props) => h(Memo, props);
}
