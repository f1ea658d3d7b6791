import type { Run } from '../run.ts';

type Discovered = { readonly address: string; readonly protocol: string };

/** Points `discover` at the addresses that callers know. */
export async function discoverFleet({ plane, cloud, facts, progress }: Run): Promise<void> {
  const { firstPublicPort, lastPublicPort, replicas } = cloud.layout;
  await plane.run('discover', `127.0.0.1:${firstPublicPort}-${lastPublicPort}`);
  const found = await plane.json<{ readonly items: readonly Discovered[] }>('list', 'discovered');
  const plaintext = found.items.filter(({ protocol }) => protocol === 'http').length;
  facts.discovered = { expected: replicas.filter(({ publicPort }) => publicPort !== null).length, found: found.items.length, plaintext };
  progress.note(`${found.items.length} endpoints, ${plaintext} of them in plaintext`);
}
