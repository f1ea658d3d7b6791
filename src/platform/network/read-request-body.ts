import type { IncomingMessage } from 'node:http';
import { Problem } from '../../core/problems/problem.ts';

/**
 * The body of a request; null as soon as it is longer, and no more of it is kept: who answers decides what becomes of the rest. By events: an iterator costs more than all
 * else that a small request takes to read. @throws input-invalid of a body that ends early
 */
export function readRequestBody(request: IncomingMessage, maximumOctets: number): Promise<Buffer | null> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer | null>();
  const chunks: Buffer[] = [];
  let size = 0;
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (size <= maximumOctets) return void chunks.push(chunk);
    chunks.length = 0;
    resolve(null);
  });
  request.on('end', () => resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)));
  request.on('error', reject);
  // A connection that ends in the middle of a body ends its request without a word.
  request.on('close', () => {
    if (!request.complete) reject(new Problem('input-invalid', 'Cannot read request: the connection ended within the body'));
  });
  return promise;
}
