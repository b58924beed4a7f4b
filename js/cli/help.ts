/**
 * The help of the program and of each command.
 *
 * Holds: the layout. Must not know: what a command does.
 */

import type { Argument, Command } from './command.js';

const WIDTH = 88;

/** A text in lines of a width, each but the first with an indent. */
function wrapped(text: string, indent: number): string {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1) ?? '';
    if (line !== '' && indent + line.length + 1 + word.length > WIDTH) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.join(`\n${' '.repeat(indent)}`);
}

/** Names and what they are, in two columns. */
function columns(rows: [name: string, help: string][]): string {
  const width = Math.max(...rows.map(([name]) => name.length)) + 4;
  return rows.map(([name, help]) => `  ${name.padEnd(width - 2)}${wrapped(help, width)}`).join('\n');
}

const shownArgument = ({ name, many }: Argument): string => `<${name}>${many === true ? '...' : ''}`;

const usageOf = ({ name, arguments: given }: Command): string =>
  ['chatstore', name, ...given.map(shownArgument), '[options]'].join(' ');

export function helpOf(command: Command): string {
  const options: [string, string][] = Object.entries(command.options).map(([name, { value, help }]) => [
    `--${name}${value === undefined ? '' : ` ${value}`}`,
    help,
  ]);
  const parts = [
    `Usage: ${usageOf(command)}`,
    wrapped(`${command.summary[0]?.toUpperCase() ?? ''}${command.summary.slice(1)}.`, 0),
    ...(command.details === undefined ? [] : [wrapped(command.details, 0)]),
    ...(command.arguments.length === 0
      ? []
      : [`Arguments:\n${columns(command.arguments.map((one) => [shownArgument(one), one.help]))}`]),
    `Options:\n${columns([...options, ['--help', 'show this']])}`,
    `Examples:\n${command.examples.map(([line, what]) => `  # ${what}\n  chatstore ${line}`).join('\n')}`,
  ];
  return `${parts.join('\n\n')}\n`;
}

export function helpOfAll(commands: readonly Command[]): string {
  const parts = [
    'Usage: chatstore <command> [options]',
    'Looks after files of chatstore: the history of chats with bots, in SQLite.',
    `Commands:\n${columns(commands.map(({ name, summary }) => [name, summary]))}`,
    `Options:\n${columns([
      ['--help', 'show this, or the help of a command'],
      ['--version', 'show the version'],
    ])}`,
    `Examples:\n${commands.map(({ examples: [first] }) => `  chatstore ${first?.[0] ?? ''}`).join('\n')}`,
    `Ends with:\n${columns([
      ['0', 'all is well'],
      ['1', 'a check has failed'],
      ['2', 'it was called in a way that it does not understand'],
      ['3', 'the store, or the system, refused'],
      ['129, 130, 143', 'it was interrupted, by SIGHUP, SIGINT or SIGTERM'],
    ])}`,
  ];
  return `${parts.join('\n\n')}\n`;
}
