/** A line of text, or null for one that was longer than allowed. */
export type BoundedLine = string | null;

/**
 * Splits a stream of UTF-8 into lines, in batches as they arrive. A line beyond `maxOctets` is dropped while it is read, never held.
 * The last line needs no end.
 */
export async function* boundedLines(stream: AsyncIterable<Uint8Array>, maxOctets: number): AsyncGenerator<readonly BoundedLine[]> {
  let held: Uint8Array[] = [];
  let heldOctets = 0;
  const take = (): BoundedLine => {
    const line = heldOctets > maxOctets ? null : Buffer.concat(held).toString('utf8').replace(/\r$/, '');
    held = [];
    heldOctets = 0;
    return line;
  };
  const hold = (part: Uint8Array): void => {
    heldOctets += part.length;
    if (heldOctets > maxOctets) held = [];
    else held.push(part);
  };
  for await (const chunk of stream) {
    const batch: BoundedLine[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      hold(chunk.subarray(start, end));
      batch.push(take());
      start = end + 1;
    }
    if (start < chunk.length) hold(chunk.subarray(start));
    if (batch.length > 0) yield batch;
  }
  if (heldOctets > 0) yield [take()];
}

const NEWLINE = 0x0a;
