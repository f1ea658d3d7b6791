import { Agent, request } from 'node:http';
import { Problem } from '../../core/problems/problem.ts';

/** Envoy's own word on itself, over its admin socket. What throws `not-found` met no Envoy there, `state-conflict` one that did not answer as it should. */
export type AdminClient = {
  /**
   * What one list of /config_dump holds, only with the fields of the mask; empty where Envoy has nothing of the kind. `names`: only of resources whose whole name fits;
   * Envoy puts together what it has of other kinds too before it answers, but for what does not fit. @throws not-found, state-conflict
   */
  dump(list: ConfigList, mask: string, names?: string): Promise<readonly ConfigEntry[]>;
  /** Numbers of gauges whose name fits, by name. @throws as above */
  gauges(filter: string): Promise<ReadonlyMap<string, number>>;
  /** The same of counters. */
  counters(filter: string): Promise<ReadonlyMap<string, number>>;
};

/** The lists of /config_dump that hold what came by xDS. */
export type ConfigList =
  | 'dynamic_listeners'
  | 'dynamic_active_clusters'
  | 'dynamic_warming_clusters'
  | 'dynamic_route_configs'
  | 'dynamic_endpoint_configs'
  | 'dynamic_active_secrets'
  | 'dynamic_warming_secrets';

/** JSON of Envoy's admin messages. */
export type ConfigEntry = { readonly [field: string]: unknown };

export function adminClient(socketPath: string): AdminClient {
  const ask = askerOf(socketPath);
  const numbersOf = async (type: 'Gauges' | 'Counters', filter: string): Promise<ReadonlyMap<string, number>> => {
    const text = await ask(`/stats?format=json&type=${type}&filter=${encodeURIComponent(filter)}`);
    const found = new Map<string, number>();
    for (const { name, value } of listOf(JSON.parse(text) as unknown, 'stats'))
      if (typeof name === 'string' && typeof value === 'number') found.set(name, value);
    return found;
  };
  return {
    async dump(list, mask, names) {
      const eds = list === 'dynamic_endpoint_configs' ? '&include_eds' : '';
      const fitting = names === undefined ? '' : `&name_regex=${encodeURIComponent(names)}`;
      const text = await ask(`/config_dump?resource=${list}&mask=${encodeURIComponent(mask)}${fitting}${eds}`, NO_LIST);
      return listOf(JSON.parse(text) as unknown, 'configs');
    },
    gauges: (filter) => numbersOf('Gauges', filter),
    counters: (filter) => numbersOf('Counters', filter),
  };
}

function listOf(body: unknown, field: string): readonly ConfigEntry[] {
  const list = typeof body === 'object' && body !== null ? (body as ConfigEntry)[field] : undefined;
  return Array.isArray(list) ? (list as readonly ConfigEntry[]) : [];
}

/** Asks over connections that stay open: Envoy is asked again and again. */
function askerOf(socketPath: string): (path: string, unlessFound?: string) => Promise<string> {
  const agent = new Agent({ keepAlive: true, maxSockets: MAXIMUM_CONNECTIONS });
  return async (path, unlessFound) => {
    try {
      return await ask({ socketPath, path, agent, unlessFound });
    } catch (error) {
      // Another Envoy listens there by now, or none.
      if (error === STALE) return await ask({ socketPath, path, agent, unlessFound });
      throw error;
    }
  };
}

type Asked = {
  readonly socketPath: string;
  readonly path: string;
  readonly agent: Agent;
  /** The answer in the place of 404; absent: that is a failure. */
  readonly unlessFound: string | undefined;
};

function ask({ socketPath, path, agent, unlessFound }: Asked): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const fail = (why: string, code: 'state-conflict' | 'not-found' = 'state-conflict'): void => {
    asked.destroy();
    reject(new Problem(code, `Cannot ask Envoy at ${socketPath}: ${why}`));
  };
  const asked = request({ socketPath, path, headers: { host: 'envoy' }, agent }, (response) => {
    const chunks: Buffer[] = [];
    let length = 0;
    response.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > MAXIMUM_ANSWER_OCTETS) fail(`its answer is longer than ${MAXIMUM_ANSWER_OCTETS} octets`);
      else chunks.push(chunk);
    });
    response.on('error', (error) => fail(error.message));
    response.on('end', () => {
      const text = Buffer.concat(chunks).toString();
      if (response.statusCode === 200) resolve(text);
      else if (response.statusCode === 404 && unlessFound !== undefined) resolve(unlessFound);
      else fail(`${response.statusCode}, ${text.slice(0, 200)}`);
    });
  });
  asked.setTimeout(TIMEOUT_MS, () => fail(`no answer within ${TIMEOUT_MS} ms`));
  asked.on('error', ({ code = '', message }: NodeJS.ErrnoException) => {
    if (asked.reusedSocket && (code === 'ECONNRESET' || code === 'EPIPE')) return reject(STALE);
    // Only nobody at the socket is nobody: one that is slow may serve all the same.
    fail(code === '' ? message : code, code === 'ECONNREFUSED' || code === 'ENOENT' ? 'not-found' : 'state-conflict');
  });
  asked.end();
  return promise;
}

/** Envoy has no list of a kind of which it never had anything, as of routes where octets pass through alone. */
const NO_LIST = '{}';
/** Of a connection that was open from before and is closed. */
const STALE = new Error('closed by Envoy');
/** Gauges need not wait for a long list. */
const MAXIMUM_CONNECTIONS = 2;
/** A thousand listeners, or a revoked set of 200,000 in a CRL, in base64. */
const MAXIMUM_ANSWER_OCTETS = 64 * 1024 * 1024;
/** Its main thread answers between its other work. */
const TIMEOUT_MS = 5_000;
