/** The service that is called: answers small JSON, alone or with the SDK inside. Started by the axis `sdk`. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { identityOf, open } from '../src/dataplane/sdk/countersign-sdk.ts';

export type ReceiverOrder =
  | { readonly kind: 'sdk'; readonly control: string; readonly state: string; readonly port: number }
  | { readonly kind: 'plain'; readonly port: number };

const body = Buffer.from(JSON.stringify({ item: 'A-17', inStock: 12, warehouse: 'north' }));

function answer(response: ServerResponse): void {
  response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': body.length }).end(body);
}

async function serverFor(order: ReceiverOrder): Promise<Server> {
  if (order.kind === 'plain') return createServer({ keepAliveTimeout: 75_000 }, (_request, response) => answer(response));
  const countersign = await open({ control: order.control, state: order.state });
  return countersign.createServer({ endpoint: 'stock' }, (request: IncomingMessage, response) => {
    if (identityOf(request).verdict !== 'accept') throw new Error('an unproved call in enforcement');
    answer(response);
  });
}

process.once('message', async (order: ReceiverOrder) => {
  const server = await serverFor(order);
  server.listen(order.port, '127.0.0.1', () => process.send!('ready'));
});
process.once('disconnect', () => process.exit());
