/** Makes load on a gateway from a process of its own: takes jobs by message, one after another, and answers each with what it measured. */
import { readFileSync } from 'node:fs';
import { connect, createSecureContext, type TLSSocket } from 'node:tls';

/** `calls` on `connections` kept; `handshakes`, each with one call, so many at a time; the same at a rate; `idle` connections that are held. */
export type LoadJob =
  | { readonly kind: 'calls'; readonly connections: number; readonly count: number }
  | { readonly kind: 'handshakes'; readonly atATime: number; readonly count: number }
  | { readonly kind: 'rate'; readonly perSecond: number; readonly count: number }
  | { readonly kind: 'idle'; readonly connections: number };

export type LoadResult = {
  readonly failed: number;
  readonly wallMs: number;
  /** From the connect to the end of the handshake, ms; of each call where connections are kept. */
  readonly waitsMs: readonly number[];
};

export type LoadTarget = { readonly port: number; readonly certFile: string; readonly keyFile: string };

const target = JSON.parse(process.argv[2]!) as LoadTarget;
// One context: what is measured is the server.
const secureContext = createSecureContext({
  cert: readFileSync(target.certFile),
  key: readFileSync(target.keyFile),
  minVersion: 'TLSv1.3',
  ecdhCurve: 'X25519',
});
const REQUEST = Buffer.from('GET /orders/1 HTTP/1.1\r\nHost: gateway.bench.example\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n');
const ANSWER_OCTETS = 1_024;
const MAXIMUM_REST_MS = 40_000;
const held: { readonly caller: Caller; readonly calledAt: number }[] = [];

class Caller {
  readonly socket: TLSSocket;
  #left = 0;
  #ended: PromiseWithResolvers<boolean> | null = null;

  constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on('data', (octets: Buffer) => this.#take(octets));
    socket.on('close', () => this.#end(false));
  }

  /** True when the whole answer came. */
  call(): Promise<boolean> {
    this.#ended = Promise.withResolvers();
    this.#left = -1;
    if (this.socket.destroyed) this.#end(false);
    else this.socket.write(REQUEST);
    return this.#ended?.promise ?? Promise.resolve(false);
  }

  #take(octets: Buffer): void {
    if (this.#left === -1) {
      // All contenders send a head in one piece.
      const end = octets.indexOf('\r\n\r\n');
      if (end === -1 || octets.subarray(9, 12).toString() !== '200') return this.#end(false);
      this.#left = ANSWER_OCTETS - (octets.length - end - 4);
      if (/transfer-encoding: chunked/i.test(octets.subarray(0, end).toString('latin1'))) return this.#end(false);
    } else {
      this.#left -= octets.length;
    }
    if (this.#left === 0) this.#end(true);
  }

  #end(isWhole: boolean): void {
    this.#ended?.resolve(isWhole);
    this.#ended = null;
  }
}

function open(): Promise<Caller | null> {
  const { promise, resolve } = Promise.withResolvers<Caller | null>();
  const socket = connect({
    host: '127.0.0.1',
    port: target.port,
    secureContext,
    servername: 'gateway.bench.example',
    rejectUnauthorized: false,
  });
  socket.setNoDelay();
  const fail = (): void => resolve(null);
  socket.on('error', fail);
  socket.once('secureConnect', () => resolve(new Caller(socket)));
  return promise;
}

async function openAll(count: number): Promise<Caller[]> {
  const callers: Caller[] = [];
  await inParallel(count, 16, async () => {
    const caller = await open();
    if (caller !== null) callers.push(caller);
  });
  return callers;
}

async function inParallel(count: number, atATime: number, work: (worker: number) => Promise<void>): Promise<void> {
  let next = 0;
  const run = async (worker: number): Promise<void> => {
    while (next++ < count) await work(worker);
  };
  await Promise.all(Array.from({ length: atATime }, (_, worker) => run(worker)));
}

async function run(job: LoadJob): Promise<LoadResult> {
  const waitsMs: number[] = [];
  let failed = 0;
  const handshake = async (): Promise<void> => {
    const startedAt = performance.now();
    const caller = await open();
    if (caller !== null) waitsMs.push(performance.now() - startedAt);
    if (caller === null || !(await caller.call())) failed += 1;
    caller?.socket.destroy();
  };
  let callers: Caller[] = [];
  if (job.kind === 'calls') callers = await openAll(job.connections);
  const begunAt = performance.now();
  switch (job.kind) {
    case 'calls':
      await inParallel(job.count, job.connections, async (worker) => {
        const startedAt = performance.now();
        if (!(await callers[worker]?.call())) failed += 1;
        waitsMs.push(performance.now() - startedAt);
      });
      break;
    case 'handshakes':
      await inParallel(job.count, job.atATime, handshake);
      break;
    case 'rate':
      await atRate(job, handshake);
      break;
    case 'idle':
      failed = await holdIdle(job.connections);
      break;
    default:
      job satisfies never;
  }
  const wallMs = performance.now() - begunAt;
  if (job.kind === 'calls') for (const { socket } of callers) socket.destroy();
  return { failed, wallMs, waitsMs };
}

/** Opens so many and leaves them alone, but for a call where opening the others takes long. Returns how many failed. */
async function holdIdle(connections: number): Promise<number> {
  let failed = 0;
  const callAndHold = async (caller: Caller): Promise<void> => {
    // No gateway keeps a connection for ever on which nothing is asked.
    if (await caller.call()) held.push({ caller, calledAt: performance.now() });
    else failed += 1;
  };
  await inParallel(connections, 16, async () => {
    const caller = await open();
    if (caller === null) failed += 1;
    else await callAndHold(caller);
    while (held.length > 0 && performance.now() - held[0]!.calledAt > MAXIMUM_REST_MS) await callAndHold(held.shift()!.caller);
  });
  return failed + held.filter(({ caller }) => caller.socket.destroyed).length;
}

/** At the times that the rate says, whatever became of those before. */
async function atRate({ perSecond, count }: Extract<LoadJob, { kind: 'rate' }>, work: () => Promise<void>): Promise<void> {
  const begunAt = performance.now();
  const all: Promise<void>[] = [];
  while (all.length < count) {
    const due = ((performance.now() - begunAt) * perSecond) / 1_000;
    while (all.length < Math.min(due, count)) all.push(work());
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  await Promise.all(all);
}

process.on('message', (job: LoadJob) => void run(job).then((result) => process.send!(result)));
process.on('disconnect', () => process.exit());
process.send?.('ready');
