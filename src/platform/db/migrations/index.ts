import type { Migration } from 'kysely/migration';
import * as audit from './0001-audit.ts';
import * as access from './0002-access.ts';
import * as policies from './0003-policies.ts';
import * as inventory from './0004-inventory.ts';
import * as ca from './0005-ca.ts';
import * as fleet from './0006-fleet.ts';
import * as telemetry from './0007-telemetry.ts';
import * as rollouts from './0008-rollouts.ts';
import * as scans from './0009-scans.ts';
import * as acme from './0010-acme.ts';
import * as revocation from './0011-revocation.ts';
import * as machineTokens from './0012-machine-tokens.ts';
import * as relint from './0014-relint.ts';
import * as external from './0015-external.ts';
import * as profiles from './0016-profiles.ts';
import * as liveJoinTokens from './0017-live-join-tokens.ts';
import * as routes from './0019-routes.ts';
import * as thirdParties from './0020-third-parties.ts';
import * as externalRevocations from './0021-external-revocations.ts';
import * as publishedKeys from './0022-published-keys.ts';
import * as acmeReads from './0023-acme-reads.ts';
import * as oneEvaluator from './0024-one-evaluator.ts';
import * as anonymousExceptions from './0025-anonymous-exceptions.ts';
import * as filedRequests from './0026-filed-requests.ts';
import * as planes from './0027-planes.ts';
import * as drillsByAddress from './0028-drills-by-address.ts';
import * as answeredRequests from './0029-answered-requests.ts';
import * as fleetLists from './0030-fleet-lists.ts';
import * as federation from './0031-federation.ts';
import * as cmp from './0032-cmp.ts';
import * as scep from './0033-scep.ts';
import * as doorGrants from './0034-door-grants.ts';
import * as envoyRefusals from './0035-envoy-refusals.ts';

/**
 * Append-only: a migration that was ever released is never changed, and its name never reused. A number that is missing stays so: a database
 * that ran a later one would refuse it.
 */
export const migrations: Record<string, Migration> = {
  '0001-audit': audit,
  '0002-access': access,
  '0003-policies': policies,
  '0004-inventory': inventory,
  '0005-ca': ca,
  '0006-fleet': fleet,
  '0007-telemetry': telemetry,
  '0008-rollouts': rollouts,
  '0009-scans': scans,
  '0010-acme': acme,
  '0011-revocation': revocation,
  '0012-machine-tokens': machineTokens,
  '0014-relint': relint,
  '0015-external': external,
  '0016-profiles': profiles,
  '0017-live-join-tokens': liveJoinTokens,
  '0019-routes': routes,
  '0020-third-parties': thirdParties,
  '0021-external-revocations': externalRevocations,
  '0022-published-keys': publishedKeys,
  '0023-acme-reads': acmeReads,
  '0024-one-evaluator': oneEvaluator,
  '0025-anonymous-exceptions': anonymousExceptions,
  '0026-filed-requests': filedRequests,
  '0027-planes': planes,
  '0028-drills-by-address': drillsByAddress,
  '0029-answered-requests': answeredRequests,
  '0030-fleet-lists': fleetLists,
  '0031-federation': federation,
  '0032-cmp': cmp,
  '0033-scep': scep,
  '0034-door-grants': doorGrants,
  '0035-envoy-refusals': envoyRefusals,
};
