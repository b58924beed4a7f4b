/** A button that opens a short list of things to do, used with the mouse or the arrow keys. */
import { useId, useRef, useState } from 'preact/hooks';
import type { ComponentChildren } from 'preact';
import { Icon, type IconName } from './icons';

export interface MenuItem {
  label: string;
  icon: IconName;
  run: () => void;
  danger?: boolean;
}

interface Props {
  label: string;
  items: MenuItem[];
  class?: string;
  children?: ComponentChildren;
}

const GAP_PX = 4;

export function Menu({ label, items, children, ...props }: Props) {
  const id = useId();
  const button = useRef<HTMLButtonElement>(null);
  const list = useRef<HTMLDivElement>(null);
  // A long list has many of these: what is in them is made when it is wanted.
  const [isOpen, setOpen] = useState(false);
  const entries = () => [...(list.current?.querySelectorAll('button') ?? [])];

  const place = (event: { newState: string }) => {
    const [menu, at] = [list.current, button.current?.getBoundingClientRect()];
    if (menu === null || at === undefined) return;
    if (event.newState !== 'open') return;
    const below = at.bottom + GAP_PX + menu.offsetHeight < innerHeight;
    menu.style.top = `${String(below ? at.bottom + GAP_PX : Math.max(GAP_PX, at.top - GAP_PX - menu.offsetHeight))}px`;
    menu.style.left = `${String(Math.max(GAP_PX, Math.min(at.left, innerWidth - menu.offsetWidth - 2 * GAP_PX)))}px`;
    entries()[0]?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const all = entries();
    const at = all.findIndex((entry) => entry === document.activeElement);
    all[(at + step + all.length) % all.length]?.focus();
  };

  return (
    <>
      <button
        type="button"
        ref={button}
        class={props.class ?? 'icon-button'}
        aria-label={label}
        title={label}
        aria-haspopup="menu"
        aria-expanded={isOpen}
        popovertarget={id}
      >
        {children ?? <Icon name="more" />}
      </button>
      <div
        id={id}
        ref={list}
        popover="auto"
        class="menu"
        role="menu"
        aria-label={label}
        onBeforeToggle={(event: { newState: string }) => {
          setOpen(event.newState === 'open');
        }}
        onToggle={place}
        onKeyDown={onKeyDown}
      >
        {isOpen &&
          items.map((item) => (
            <button
              key={item.label}
              type="button"
              role="menuitem"
              class={item.danger ? 'danger' : ''}
              onClick={() => {
                list.current?.hidePopover();
                item.run();
              }}
            >
              <Icon name={item.icon} /> {item.label}
            </button>
          ))}
      </div>
    </>
  );
}
