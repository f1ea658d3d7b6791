import { openClient } from './client.ts';
import type { Run } from './command.ts';
import { formatTable } from './output.ts';
import { reserveOut } from './write-secret.ts';

type Authority = { readonly id: string; readonly kind: string; readonly spkiSha256: string; readonly notAfter: number | string };

/** `countersign ca show`. */
export const run: Run = async (invocation) => {
  const client = openClient(invocation);
  await using out = await reserveOut(invocation);
  if (out !== null) await out.write(await client.getText('/v1/trust-bundle.pem'));
  const { items } = await client.get<{ readonly items: readonly Authority[] }>('/v1/authorities');
  const rows = items.map(({ id, kind, spkiSha256, notAfter }) => [id, kind, spkiSha256, new Date(notAfter).toISOString()]);
  invocation.output.answer({ items }, () => formatTable([['authority', 'kind', 'SHA-256 of the key', 'not after'], ...rows]));
  return 'ok';
};
