import { MAXIMUM_ENDPOINT_EXCEPTIONS } from '../../core/policy/anonymous-exception.ts';
import { Problem } from '../../core/problems/problem.ts';
import type { Instant } from '../../core/time/instant.ts';
import { anonymousByEndpoint } from './anonymous-by-endpoint.ts';
import type { Draft } from './draft.ts';

/** Exceptions that no proxy could keep as they say, whichever of exception and endpoint is declared now. */
export function refuseUnkeptExceptions({ exceptions, endpoints }: Draft, now: Instant): void {
  const known = new Map([...endpoints.values()].map((endpoint) => [endpoint.id, endpoint]));
  const current = [...exceptions.values()].filter(({ until }) => until > now);
  for (const [endpointId, ofEndpoint] of anonymousByEndpoint(current)) {
    const { name, protocol, external } = known.get(endpointId)!;
    const [first] = ofEndpoint;
    if (external !== null) throw unkept(first!.name, `endpoint ${name} is outside of the trust domain, where no proxy of ours judges`);
    const isStream = protocol === 'tcp';
    const odd = ofEndpoint.find(({ anonymous }) => isStream !== (anonymous!.calls.length === 0));
    if (odd !== undefined) {
      throw unkept(
        odd.name,
        isStream ? `calls cannot be told apart at ${name}, which is of tcp` : `calls have to be named at ${name}, of ${protocol}`,
      );
    }
    if (ofEndpoint.length > MAXIMUM_ENDPOINT_EXCEPTIONS)
      throw unkept(
        first!.name,
        `endpoint ${name} would have ${ofEndpoint.length} of its kind, expected at most ${MAXIMUM_ENDPOINT_EXCEPTIONS}`,
      );
  }
}

function unkept(name: string, why: string): Problem {
  return new Problem('state-conflict', `Cannot apply declaration: Exception ${name} could not be kept: ${why}`);
}
