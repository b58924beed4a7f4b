/**
 * The verification report, the same in every environment; each adds the means to run it.
 *
 * Holds: no logic.
 */

export { categories } from './categories.js';
export { toHtml } from './html.js';
export { toMarkdown } from './markdown.js';
export { runReport, type ReportOptions } from './run.js';
export { toText } from './text.js';
export type {
  Category,
  CategoryReport,
  Environment,
  Figure,
  Finding,
  Item,
  ItemReport,
  Report,
  ReportProgress,
  Scratch,
  Status,
  Store,
  StoreOptions,
} from './types.js';
