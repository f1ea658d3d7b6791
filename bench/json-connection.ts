import { Client } from 'undici';

/** An answer with its whole body. */
export type Reply = { readonly status: number; readonly headers: { readonly [name: string]: unknown }; readonly text: string };

/** One kept HTTPS connection with one request at a time: what a client of a benchmark has. */
export type Connection = {
  send(method: 'GET' | 'HEAD' | 'POST', path: string, body: string | null, headers?: { readonly [name: string]: string }): Promise<Reply>;
  close(): Promise<void>;
};

/** Opens it at the first request. */
export function openConnection(origin: string): Connection {
  // The bench measures time, not trust: it started this server itself a moment ago.
  const client = new Client(origin, { pipelining: 1, connect: { rejectUnauthorized: false } });
  return {
    async send(method, path, body, headers = {}) {
      const { statusCode, headers: answered, body: stream } = await client.request({ method, path, body, headers });
      return { status: statusCode, headers: answered, text: await stream.text() };
    },
    close: async () => (client.destroyed ? undefined : client.destroy()),
  };
}

/** The JSON of a good answer. @throws Error on any other */
export function jsonOf(reply: Reply): Record<string, unknown> {
  if (reply.status >= 300) throw new Error(`answered ${reply.status}: ${reply.text.slice(0, 500)}`);
  return JSON.parse(reply.text) as Record<string, unknown>;
}
