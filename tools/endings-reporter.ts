/**
 * A node:test reporter that prints one line for each test that ended: its depth, its milliseconds, the file that it stands in, and its name
 * where it was skipped, so that a run can name what it left out.
 */
import { EventEmitter } from 'node:events';
import type { TestEvent } from 'node:test/reporters';

// Each reporter listens to the stream of events several times over; with three it would warn of a leak.
EventEmitter.defaultMaxListeners = 20;

export default async function* reportEndings(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    const { nesting, details, file = '', name, skip } = event.data;
    const leftOut = skip === undefined ? '' : `${name}${typeof skip === 'string' ? ` (${skip})` : ''}`;
    yield `${nesting}\t${details.duration_ms}\t${file}\t${leftOut}\n`;
  }
}
