/**
 * The store's verification report: running it, and saving what it found.
 *
 * Holds: how far it is, and the last one. What runs it is loaded when somebody asks for it. Must not know: how it is
 * shown, or what is checked.
 */
import { signal } from '@preact/signals';
import { ChatStore } from 'chatstore';
import type { Report, ReportProgress } from 'chatstore/report';
import { attempt } from './toasts';

export const progress = signal<ReportProgress | null>(null);
export const report = signal<Report | null>(null);

/** In stores of its own, which are removed: the chats are not touched. */
export function run(): void {
  attempt(async () => {
    progress.value = { done: 0, expected: 0, title: '' };
    report.value = null;
    try {
      const { environmentOf, runReport } = await import('chatstore/report');
      report.value = await runReport({
        environment: environmentOf(ChatStore),
        onProgress: (now) => {
          progress.value = now;
        },
      });
    } finally {
      progress.value = null;
    }
  });
}

const formats = {
  Markdown: { suffix: 'md', type: 'text/markdown' },
  JSON: { suffix: 'json', type: 'application/json' },
  HTML: { suffix: 'html', type: 'text/html' },
} as const;

export type Format = keyof typeof formats;
export const allFormats: Format[] = ['Markdown', 'JSON', 'HTML'];

/** Gives the last report as a download. */
export function save(format: Format): void {
  attempt(async () => {
    const { toHtml, toMarkdown } = await import('chatstore/report');
    const now = report.value;
    if (now === null) return;
    const write = { Markdown: toMarkdown, JSON: (data: Report) => JSON.stringify(data, null, 2), HTML: toHtml };
    const { suffix, type } = formats[format];
    const address = URL.createObjectURL(new Blob([write[format](now)], { type }));
    const link = document.createElement('a');
    link.href = address;
    link.download = `verification-report-${new Date(now.startedAt).toISOString().slice(0, 10)}.${suffix}`;
    link.click();
    setTimeout(() => {
      URL.revokeObjectURL(address);
    }, 60_000);
  });
}
