import { openClient } from './client.ts';
import type { Run } from './command.ts';
import { reserveOut } from './write-secret.ts';

/** `countersign federation bundle`. */
export const run: Run = async (invocation) => {
  const client = openClient(invocation);
  await using out = await reserveOut(invocation);
  const text = await client.getText('/v1/federation/bundle');
  if (out !== null) await out.write(text);
  const bundle = JSON.parse(text) as { readonly spiffe_sequence: number; readonly keys: readonly unknown[] };
  const { spiffe_sequence: sequence, keys } = bundle;
  invocation.output.answer(bundle, () => (out === null ? [text.trim()] : [`sequence ${sequence}, authorities: ${keys.length}`]));
  return 'ok';
};
