import { groupNamesOf, type ProxyKind } from './proxy-program.ts';
import type { RenderOrder } from './render-order.ts';

/** Something that a policy or an endpoint asks of a proxy, and what each proxy makes of it. */
export type Demand = {
  readonly meaning: string;
  /** `access`: left undone, somebody gets in who should not, so nobody is given that without having agreed to it by name. */
  readonly weight: 'access' | 'other';
  readonly isMade: (order: RenderOrder) => boolean;
  readonly by: { readonly [kind in ProxyKind]: Ability };
};

/** What the table in the documents says, and why this order is not met, or null. */
export type Ability = { readonly text: string; readonly gap: (order: RenderOrder) => string | null };

export const yes = (how: string): Ability => ({ text: how, gap: () => null });
export const no = (why: string): Ability => ({ text: `**no**: ${why}`, gap: () => why });
export const partly = (why: string): Ability => ({ text: `**partly**: ${why}`, gap: () => why });
export const depends = (text: string, gap: Ability['gap']): Ability => ({ text, gap });

/** What nginx can do only where it can run a script. */
export const withNjs = (what: string): Ability =>
  depends(`with njs (\`--njs\`): ${what}`, ({ program }) => (program.njs !== null ? null : 'nginx can only by njs (--njs)'));

/** What is not written for any proxy yet. */
export const nobody = {
  nginx: no('not written'),
  haproxy: no('not written'),
  caddy: no('not written'),
  envoy: no('not written'),
  node: no('not written'),
};

export const always = (): boolean => true;
export const isCertified = ({ clients }: RenderOrder): boolean => clients.kind === 'certified';
export const isEnforced = (order: RenderOrder): boolean => isCertified(order) && order.mode === 'enforce';

export const groups = (text: string): Ability =>
  depends(text, ({ program, policy }) => {
    const known = groupNamesOf(program);
    const missing = policy.tls.groups.filter((group) => !known.has(group));
    return missing.length === 0 ? null : `${missing.join(', ')} left out, which this version cannot speak`;
  });
