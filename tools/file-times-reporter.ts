/** A node:test reporter that prints one line for each test that ended: its depth, its milliseconds and the file that it stands in. */
import type { TestEvent } from 'node:test/reporters';

export default async function* reportFileTimes(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    const { nesting, details, file } = event.data;
    if (file !== undefined) yield `${nesting}\t${details.duration_ms}\t${file}\n`;
  }
}
