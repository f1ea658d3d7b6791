/** The service that calls, 32 calls in flight. Started by the axis `sdk`. */
import { type Dispatcher, Pool, request } from 'undici';
import { open } from '../src/dataplane/sdk/countersign-sdk.ts';
import { quantile } from './load.ts';

export type CallerOrder =
  | { readonly kind: 'sdk'; readonly control: string; readonly state: string }
  | { readonly kind: 'plain'; readonly origin: string };

export type CallerReport = { readonly answered: number; readonly wallMs: number; readonly p50Ms: number };

const IN_FLIGHT = 32;

async function wayFor(order: CallerOrder): Promise<{ readonly url: string; readonly dispatcher: Dispatcher }> {
  if (order.kind === 'plain') return { url: `${order.origin}/v1/items`, dispatcher: new Pool(order.origin, { connections: IN_FLIGHT }) };
  const { dispatcher } = await open({ control: order.control, state: order.state });
  return { url: 'https://stock/v1/items', dispatcher };
}

async function callFor(way: Awaited<ReturnType<typeof wayFor>>, milliseconds: number): Promise<CallerReport> {
  const waits: number[] = [];
  const begunAt = performance.now();
  const end = begunAt + milliseconds;
  const run = async (): Promise<void> => {
    while (performance.now() < end) {
      const startedAt = performance.now();
      const { statusCode, body } = await request(way.url, { dispatcher: way.dispatcher });
      const text = await body.text();
      if (statusCode !== 200 || !text.startsWith('{"item"')) throw new Error(`an answer of status ${statusCode}`);
      waits.push(performance.now() - startedAt);
    }
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, run));
  return { answered: waits.length, wallMs: performance.now() - begunAt, p50Ms: quantile(waits, 0.5) };
}

process.once('message', async (order: CallerOrder) => {
  const way = await wayFor(order);
  process.on('message', async ({ milliseconds }: { readonly milliseconds: number }) => process.send!(await callFor(way, milliseconds)));
  process.send!('ready');
});
process.once('disconnect', () => process.exit());
