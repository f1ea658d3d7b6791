import { create } from '@bufbuild/protobuf';
import { MachineTokenRefused } from '../../control/access/machine-token-refused.ts';
import { registerProxy } from '../../control/fleet/register-proxy.ts';
import {
  type DataPlaneVersion,
  EnrollmentService,
  JoinResponseSchema,
} from '../../core/messages/generated/countersign/v1/enrollment_pb.ts';
import { profileForJoin } from '../../core/issuance/profile.ts';
import { Problem } from '../../core/problems/problem.ts';
import { type UnaryMethod, unaryMethod } from '../data-plane/rpc-method.ts';
import type { EnrollmentDeps } from './enrollment-deps.ts';
import { findJoiner } from './find-joiner.ts';
import type { JoinerDeps } from './joiner.ts';
import { readRequestFor } from './read-request.ts';

/**
 * A join token, or a token of a declared issuer, buys the first certificate: the only method without a client certificate. The token is claimed in
 * the commit that reserves the serial, so a token is never used up for nothing and never used twice; the key that claimed it may ask again.
 */
export function joinMethod({ issue, queries, roots, clock, machineTokens }: EnrollmentDeps & JoinerDeps): UnaryMethod {
  return unaryMethod(EnrollmentService.method.join, 'anyone', async (request) => {
    const now = clock.now();
    const joiner = await findJoiner({ queries, machineTokens }, request, now);
    const { proxyId, spiffeId, role, environment, region } = joiner.proxy;
    const note = versionNote(request.version);
    const issued = await issue(
      {
        door: 'join',
        profile: profileForJoin(role === 'scanner' ? 'scanner' : 'data-plane'),
        ...joiner.asker,
        csr: readRequestFor(spiffeId, request.csr),
        spiffeId,
        names: { dns: [], ip: [] },
        proxyId,
        environment,
        region,
        claim: async (unit) => {
          await joiner.claim(unit);
          await registerProxy(unit, { ...joiner.proxy, ...note }, now);
        },
        note: { ...note, ...joiner.note },
      },
      now,
    ).catch(async (error: unknown) => {
      // One that was used before is found out in the commit only.
      if (error instanceof MachineTokenRefused) await machineTokens?.refused(error, now);
      throw error;
    });
    return create(JoinResponseSchema, { proxyId, spiffeId, chain: [...issued.chain], roots: [...roots()] });
  });
}

/** What the program says about itself, for the log; bounded, and nothing is decided by it. */
function versionNote(version: DataPlaneVersion | undefined): { readonly version: string; readonly capabilities: readonly string[] } {
  const capabilities = version?.capabilities ?? [];
  const longest = Math.max(version?.version.length ?? 0, ...capabilities.map(({ length }) => length));
  if (capabilities.length > MAXIMUM_CAPABILITIES || longest > MAXIMUM_WORD) {
    throw new Problem(
      'input-invalid',
      `Cannot join: ${capabilities.length} capabilities of up to ${longest} characters, expected at most ${MAXIMUM_CAPABILITIES} of ${MAXIMUM_WORD}`,
    );
  }
  return { version: version?.version ?? '', capabilities };
}

const MAXIMUM_CAPABILITIES = 64;
const MAXIMUM_WORD = 64;
