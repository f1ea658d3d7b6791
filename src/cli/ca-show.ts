import { openClient } from './client.ts';
import { type Run, textOption } from './command.ts';
import { formatTable } from './output.ts';
import { writeNewFile } from './write-secret.ts';

type Authority = { readonly id: string; readonly role: string; readonly spkiSha256: string; readonly notAfter: number | string };

/** `countersign ca show`. */
export const run: Run = async (invocation) => {
  const client = openClient(invocation);
  const out = textOption(invocation, 'out');
  if (out !== undefined) await writeNewFile(out, await client.getText('/v1/trust-bundle.pem'));
  const { items } = await client.get<{ readonly items: readonly Authority[] }>('/v1/authorities');
  const rows = items.map(({ id, role, spkiSha256, notAfter }) => [id, role, spkiSha256, new Date(notAfter).toISOString()]);
  invocation.output.answer({ items }, () => formatTable([['authority', 'role', 'SHA-256 of the key', 'not after'], ...rows]));
  return 'ok';
};
