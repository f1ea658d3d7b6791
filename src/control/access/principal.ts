import type { EntityId } from '../../core/ids/entity-id.ts';
import type { Actor } from '../audit/entry.ts';
import type { Machine } from './machine-tokens.ts';
import { type Role, roleCovers } from './role.ts';

/** The environments that a token may act in. */
export type Scope = '*' | readonly string[];

/** Who called, as proved by a live token. */
export type Principal = {
  /** Null: a token of another issuer. */
  readonly tokenId: EntityId<'token'> | null;
  readonly name: string;
  readonly role: Role;
  readonly scope: Scope;
  /** Who it is by a token of another issuer, which is good for what its rules grant and nothing else. */
  readonly machine?: Machine;
};

/** The bearer of another issuer's token, as one that may ask for certificates. */
export function machinePrincipal(machine: Machine): Principal {
  const scope = [...new Set(machine.grants.map(({ environment }) => environment))];
  return { tokenId: null, name: machine.name, role: 'ci', scope, machine };
}

/** True if the principal may do what the role is demanded for, in that environment (`*`: in all of them at once). */
export function mayAct(principal: Principal, demanded: Role, environment: string): boolean {
  return roleCovers(principal.role, demanded) && (principal.scope === '*' || principal.scope.includes(environment));
}

/** How the principal stands in the log: a pipeline is a machine, everybody else a person. */
export function actorOf(principal: Principal): Actor {
  return { kind: principal.role === 'ci' ? 'machine' : 'person', name: principal.name };
}
