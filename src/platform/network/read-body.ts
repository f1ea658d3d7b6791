import type { IncomingMessage } from 'node:http';

/** The body of an answer; null, and no more of it read, once it is longer. */
export async function readBody(answer: IncomingMessage, maximumOctets: number): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > maximumOctets) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
