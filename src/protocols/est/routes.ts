import type { Principal } from '../../control/access/principal.ts';
import { MachineTokenRefused } from '../../control/access/machine-token-refused.ts';
import type { ProblemCode } from '../../core/problems/codes.ts';
import { buildCsrAttributes } from '../../core/issuance/csr-attributes.ts';
import type { Instant } from '../../core/time/instant.ts';
import { base64, type EstAnswer } from './answer.ts';
import { authenticateBasic } from './authenticate.ts';
import { caCerts } from './ca-certs.ts';
import type { EstCall } from './call.ts';
import type { EstDeps } from './deps.ts';
import { enrol, reEnrol } from './enrol.ts';
import { isOurs, textAnswer } from './problems.ts';
import { makeServerKey } from './server-keys.ts';

/** Answers an operation; refusals for who asked are in the log before they are told. @throws what its handler throws */
export async function answerEst(deps: EstDeps, call: EstCall, now: Instant): Promise<EstAnswer> {
  let principal: Principal | null = null;
  const known = async (): Promise<Principal> => (principal = await authenticateBasic(deps, call.authorization, now));
  try {
    switch (call.target.operation) {
      case 'cacerts':
        return caCerts(deps.authorities, call.target);
      case 'simpleenroll':
        // Whoever shows a certificate of ours and no password asks for what he has already (RFC 7030 section 3.3.2).
        if (call.authorization === undefined && call.peerChain().length > 0) return await reEnrol(deps, call, now);
        return await enrol(deps, call, await known(), now);
      case 'simplereenroll':
        return await reEnrol(deps, call, now);
      case 'csrattrs':
        return csrAttributes(deps, call);
      case 'serverkeygen':
        return await makeServerKey(deps, call, await known(), now);
      case 'fullcmc':
        // RFC 7030 section 4.3: optional, and said so.
        return textAnswer(501, 'fullcmc is not offered');
      default:
        return call.target.operation satisfies never;
    }
  } catch (error) {
    if (isOurs(error)) await logRefusal(deps, call, { error, principal }, now);
    throw error;
  }
}

function csrAttributes({ bound }: EstDeps, { target }: EstCall): EstAnswer {
  const der = buildCsrAttributes(target.profile, bound.has('*') || bound.has(target.label));
  return { status: 200, headers: { 'content-type': 'application/csrattrs' }, body: base64(der) };
}

async function logRefusal(
  { refusals, log, machineTokens }: EstDeps,
  { target }: EstCall,
  {
    error,
    principal,
  }: {
    readonly error: { readonly code: ProblemCode; readonly status: number; readonly message: string };
    readonly principal: Principal | null;
  },
  now: Instant,
): Promise<void> {
  const { code, status, message } = error;
  log('warn', 'est.refused', { operation: target.operation, label: target.label, code, detail: message });
  // The others were logged where they were found.
  if (error instanceof MachineTokenRefused && error.reason === 'replayed') await machineTokens.refused(error, now);
  if (status !== 401 && status !== 403 && status !== 429) return;
  await refusals
    .record({ route: `est ${target.operation}`, code, principal }, now)
    .catch((err: unknown) => void log('error', 'refusal could not be logged', { err }));
}
