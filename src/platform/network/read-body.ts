import type { IncomingMessage } from 'node:http';

/** The body of an answer; null, and no more of it kept, once it is longer. By events: an iterator costs more than a small answer. */
export function readBody(answer: IncomingMessage, maximumOctets: number): Promise<Buffer | null> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer | null>();
  const chunks: Buffer[] = [];
  let size = 0;
  answer.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= maximumOctets) chunks.push(chunk);
    else {
      resolve(null);
      answer.destroy();
    }
  });
  answer.on('end', () => resolve(Buffer.concat(chunks)));
  answer.on('error', reject);
  // Cut off without a word.
  answer.on('close', () => reject(Object.assign(new Error('the answer was cut off'), { code: 'ECONNRESET' })));
  return promise;
}
