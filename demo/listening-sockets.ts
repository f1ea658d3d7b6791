import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';

/** A listening TCP socket and the processes that hold it open. */
export type ListeningSocket = { readonly address: string; readonly port: number; readonly pids: readonly number[] };

/** All listening TCP sockets of these processes, as the kernel tells (`/proc`, so on Linux only; null elsewhere). */
export function listListeningSockets(pids: readonly number[]): readonly ListeningSocket[] | null {
  if (process.platform !== 'linux') return null;
  const holders = new Map<string, number[]>();
  for (const pid of pids) for (const inode of socketInodesOf(pid)) holders.set(inode, [...(holders.get(inode) ?? []), pid]);
  const sockets = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap(readSocketTable);
  return sockets
    .flatMap(({ address, port, inode }) => (holders.has(inode) ? [{ address, port, pids: holders.get(inode)! }] : []))
    .toSorted((a, b) => a.port - b.port);
}

function socketInodesOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((descriptor) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${descriptor}`))?.[1] ?? [];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

/** The rows in state LISTEN (0A) of a table as proc(5) describes it. */
function readSocketTable(file: string): { readonly address: string; readonly port: number; readonly inode: string }[] {
  return readFileSync(file, 'utf8')
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', , state, , , , , , inode = ''] = line.trim().split(/\s+/);
      const [address = '', port = ''] = local.split(':');
      return state === '0A' ? [{ address: readAddress(address), port: Number.parseInt(port, 16), inode }] : [];
    });
}

/** IPv4 stands in the machine's (little-endian) order; of IPv6 only "any" matters here. */
function readAddress(hex: string): string {
  if (hex.length === 8) return [...Buffer.from(hex, 'hex')].toReversed().join('.');
  return /^0+$/.test(hex) ? '::' : hex.toLowerCase();
}

/** What a socket answers to a plaintext HTTP request: `refused` if no octet of an answer came but at most a TLS alert. */
export async function probePlaintext(port: number): Promise<'refused' | 'answered'> {
  const { promise, resolve } = Promise.withResolvers<'refused' | 'answered'>();
  const socket = connect({ host: '127.0.0.1', port }, () =>
    socket.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'),
  );
  socket.on('data', (octets) => resolve(octets[0] === TLS_ALERT ? 'refused' : 'answered'));
  socket.on('error', () => resolve('refused'));
  socket.on('close', () => resolve('refused'));
  socket.setTimeout(PROBE_TIMEOUT_MS, () => resolve('refused'));
  const verdict = await promise;
  socket.destroy();
  return verdict;
}

const TLS_ALERT = 0x15;
const PROBE_TIMEOUT_MS = 3_000;
