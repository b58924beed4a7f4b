/**
 * Markdown as elements: no text is ever read as HTML.
 *
 * Holds: which of Markdown's tokens become which elements. HTML in a text is shown as the text it is; links go
 * to the web, to mail or to a place of this page; images of other servers are links, since loading one tells
 * its server who reads what. Must not know: chats.
 */
import MarkdownIt, { type Token } from 'markdown-it';
import { h, type ComponentChildren } from 'preact';
import { memo } from './memo';
import { CodeBlock } from './code_block';

const parser = new MarkdownIt({ html: false, linkify: true, breaks: true });
// "readme.md" and the like are names of files more often than addresses.
parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false });

/** Tokens of markdown-it that are an element with the same name and nothing more. */
const plain_tags = new Set([
  'p',
  'h1',
  'h2',
  'h3',
  'h4',
  'h5',
  'h6',
  'ul',
  'ol',
  'li',
  'blockquote',
  'em',
  'strong',
  's',
  'thead',
  'tbody',
  'tr',
  'th',
  'td',
]);
/** A message's headings stand below those of the page. */
const shown_as: Record<string, string> = { h1: 'h3', h2: 'h4', h3: 'h5', h4: 'h6', h5: 'h6' };

export const Markdown = memo(({ text }: { text: string }) => (
  <div class="markdown">{elements(parser.parse(text, {}))}</div>
));

interface Open {
  make: (children: ComponentChildren[]) => ComponentChildren;
  children: ComponentChildren[];
}

/** A flat list of opening, closing and other tokens, as a tree. */
function elements(tokens: Token[]): ComponentChildren[] {
  const root: Open = { make: (children) => children, children: [] };
  const open: Open[] = [root];
  for (const token of tokens) {
    const inner = open.at(-1) ?? root;
    if (token.nesting === 1) {
      open.push({ make: opening(token), children: [] });
    } else if (token.nesting === -1) {
      if (open.length === 1) continue;
      open.pop();
      (open.at(-1) ?? root).children.push(inner.make(inner.children));
    } else {
      inner.children.push(single(token));
    }
  }
  return root.children;
}

function opening(token: Token): Open['make'] {
  const { tag } = token;
  if (token.type === 'link_open') return (children) => <Link to={String(token.attrGet('href') ?? '')}>{children}</Link>;
  // The paragraphs of a tight list.
  if (token.hidden) return (children) => children;
  if (tag === 'table')
    return (children) => (
      <div class="table-scroll" tabIndex={0} role="group" aria-label="Table">
        <table>{children}</table>
      </div>
    );
  if (!plain_tags.has(tag)) return (children) => children;
  if (tag === 'ol') return (children) => <ol start={Number(token.attrGet('start') ?? 1)}>{children}</ol>;
  if (tag === 'th' || tag === 'td') {
    const align = /text-align:(\w+)/.exec(String(token.attrGet('style') ?? ''))?.[1];
    return (children) => h(tag, align === undefined ? null : { class: `align-${align}` }, children);
  }
  return (children) => h(shown_as[tag] ?? tag, null, children);
}

function single(token: Token): ComponentChildren {
  switch (token.type) {
    case 'inline':
      return elements(token.children ?? []);
    case 'text':
    case 'text_special':
    case 'html_inline':
    case 'html_block':
      return token.content;
    case 'code_inline':
      return <code>{token.content}</code>;
    case 'fence':
    case 'code_block':
      return <CodeBlock code={token.content.replace(/\n$/, '')} language={token.info.trim().split(/\s+/)[0] ?? ''} />;
    case 'hardbreak':
    case 'softbreak':
      return <br />;
    case 'hr':
      return <hr />;
    case 'image':
      return <Image source={String(token.attrGet('src') ?? '')} text={token.content} />;
    default:
      return token.content;
  }
}

function Link({ to, children }: { to: string; children: ComponentChildren }) {
  if (to.startsWith('#/')) return <a href={to}>{children}</a>;
  if (!/^(https?:|mailto:)/i.test(to)) return <>{children}</>;
  return (
    <a href={to} target="_blank" rel="noopener noreferrer nofollow">
      {children}
    </a>
  );
}

function Image({ source, text }: { source: string; text: string }) {
  // Bytes that are in the message itself reach nobody.
  if (/^data:image\/(png|gif|jpeg|webp);/i.test(source)) return <img src={source} alt={text} />;
  if (!URL.canParse(source)) return <>{text}</>;
  return (
    <Link to={source}>
      Image{text === '' ? '' : `: ${text}`} <span class="faint">({new URL(source).hostname})</span>
    </Link>
  );
}
