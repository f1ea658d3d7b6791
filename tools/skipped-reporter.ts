/** A node:test reporter that prints one line for each test that was skipped, so that a run can name what it left out. */
import type { TestEvent } from 'node:test/reporters';

export default async function* reportSkipped(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of events) {
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue;
    const { skip, name } = event.data;
    if (skip !== undefined) yield `${name}${typeof skip === 'string' ? ` (${skip})` : ''}\n`;
  }
}
