import { objectionsOf } from '../../core/envoy/objections.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { Queries } from '../../platform/db/database.ts';
import { listDeclaredProxies } from '../inventory/store.ts';
import { compileSettings } from './compile-settings.ts';
import { readView, type ViewDeps } from './reconcile.ts';

/** What the Envoys of the inventory cannot do of what they are to run; none where all of it is within what they can. */
export async function listUnable(queries: Queries, deps: ViewDeps, now: Instant): Promise<readonly string[]> {
  const envoys = (await listDeclaredProxies(queries, '*')).filter(({ plane }) => plane === 'envoy');
  if (envoys.length === 0) return [];
  const view = await readView(queries, deps, now);
  return envoys.flatMap((proxy) => objectionsOf(compileSettings(view, proxy)).map((objection) => `Proxy ${proxy.name}, ${objection}`));
}

/**
 * For the end of a unit that declares: what a proxy is to run has to be within what its plane can do. A proxy that left out what it cannot do would be less
 * than was declared, and one that refused its settings would hold every wave.
 * @throws plane-unable with what the Envoys of the inventory cannot do
 */
export async function refuseUnable(queries: Queries, deps: ViewDeps, now: Instant): Promise<void> {
  const objections = await listUnable(queries, deps, now);
  if (objections.length === 0) return;
  const shown = objections.slice(0, MAXIMUM_SHOWN).join('; ');
  const rest = objections.length > MAXIMUM_SHOWN ? `, and ${objections.length - MAXIMUM_SHOWN} more` : '';
  throw new Problem('plane-unable', `Cannot apply declaration: ${shown}${rest}, expected what Envoy can do`);
}

const MAXIMUM_SHOWN = 10;
