import type { AuditedDatabase } from '../control/audit/entry.ts';
import type { Authorities } from '../control/ca/authorities.ts';
import type { Secret } from '../core/secrets/secret.ts';
import type { AcmeSecrets } from '../protocols/acme/acme-secrets.ts';
import { makeBinding } from '../protocols/acme/binding.ts';
import type { GrantMakers } from '../protocols/admin/serve-grants.ts';
import { makeSecret } from '../protocols/cmp/secret.ts';
import { makeChallenge } from '../protocols/scep/challenge.ts';

/** What makes grants, by the secrets of the doors that are served. */
export function grantMakers(
  deps: { readonly database: AuditedDatabase; readonly authorities: Authorities },
  { acme, cmp, scep }: { readonly acme: AcmeSecrets | null; readonly cmp: Secret<Uint8Array> | null; readonly scep: boolean },
): GrantMakers {
  return {
    acme: acme && ((request, maker, now) => makeBinding({ ...deps, bindings: acme.bindings }, request, maker, now)),
    cmp: cmp && ((request, maker, now) => makeSecret({ ...deps, root: cmp }, request, maker, now)),
    scep: scep ? (request, maker, now) => makeChallenge(deps, request, maker, now) : null,
  };
}
