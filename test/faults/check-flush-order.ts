import type { TracedCall } from './read-trace.ts';

/** One request with its answer on a connection, by the lines of the trace. */
export type Exchange = {
  /** The last octets of the request had been read. */
  readonly askedAt: number;
  /** The first octets of the answer began to leave. */
  readonly answeredAt: number;
  readonly octetsAnswered: number;
};

export type OrderReport = { readonly exchanges: readonly Exchange[]; readonly violations: readonly string[] };

/**
 * Holds the last `requests` exchanges of a client's connection against the flushes of the write-ahead log: an answer may begin only after
 * two commits of its own were flushed (the reservation and the record), and nothing written before it may still be unflushed.
 */
export function checkFlushOrder(
  calls: readonly TracedCall[],
  { clientPort, requests }: { readonly clientPort: number; readonly requests: number },
): OrderReport {
  const exchanges = readExchanges(calls.filter(({ target }) => target.endsWith(`->127.0.0.1:${clientPort}]`))).slice(-requests);
  const wal = calls.filter(({ target }) => target.endsWith('-wal'));
  const violations = exchanges.flatMap((exchange, index) => judge(exchange, wal).map((fault) => `answer ${index + 1}: ${fault}`));
  if (exchanges.length < requests) violations.push(`the trace shows ${exchanges.length} exchanges, expected ${requests}`);
  return { exchanges, violations };
}

function judge({ askedAt, answeredAt }: Exchange, wal: readonly TracedCall[]): string[] {
  const own = wal.filter(({ begunAt, endedAt }) => begunAt > askedAt && endedAt < answeredAt);
  const writes = own.filter(({ name }) => name === 'pwrite64' || name === 'write');
  const flushes = own.filter(({ name, result }) => FLUSHES.has(name) && result === 0);
  const last = writes.at(-1);
  if (last === undefined) return ['nothing was written before it'];
  const faults: string[] = [];
  // A flush counts for what was written before it; two flushes in a row are one.
  const covering = flushes.filter(({ begunAt }, index) =>
    writes.some((write) => write.endedAt < begunAt && write.endedAt > (flushes[index - 1]?.endedAt ?? askedAt)),
  );
  if (covering.length < COMMITS) faults.push(`${covering.length} flushed commits before it, expected ${COMMITS}`);
  if (!flushes.some(({ begunAt }) => begunAt > last.endedAt)) faults.push('it left before the flush of the last write');
  return faults;
}

/** What was read after something was written begins a new exchange. */
function readExchanges(calls: readonly TracedCall[]): Exchange[] {
  const exchanges: Exchange[] = [];
  let askedAt: number | null = null;
  for (const { name, result, begunAt, endedAt } of calls) {
    if (result <= 0) continue;
    if (READS.has(name)) {
      askedAt = endedAt;
    } else if (WRITES.has(name) && askedAt !== null) {
      exchanges.push({ askedAt, answeredAt: begunAt, octetsAnswered: result });
      askedAt = null;
    } else if (WRITES.has(name) && exchanges.length > 0) {
      const last = exchanges.pop()!;
      exchanges.push({ ...last, octetsAnswered: last.octetsAnswered + result });
    }
  }
  return exchanges;
}

const FLUSHES = new Set(['fdatasync', 'fsync']);
const READS = new Set(['read', 'recvfrom', 'recvmsg', 'readv']);
const WRITES = new Set(['write', 'writev', 'sendto', 'sendmsg']);
/** The reservation of the serial with its entry, and the certificate with its entry. */
const COMMITS = 2;

/** The calls that the check needs; everything else of the process is left alone. */
export const tracedCalls = [...FLUSHES, ...READS, ...WRITES, 'pwrite64'].join(',');
