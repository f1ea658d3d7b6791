import { parsePolicy, type Policy } from '../policy/policy.ts';
import type { RenderedPolicy } from './render-order.ts';

/**
 * The parts of a policy that are rendered, from the form in which a control plane shows it: read again by the reader of declarations, so that
 * nothing reaches a configuration that no policy could hold. @throws input-invalid
 */
export function readStoredPolicy(stored: Policy): RenderedPolicy {
  const { tls, http, limits } = stored;
  const { boundTokens, hsts, maximumBodyOctets, rates, ...rest } = http;
  const read = parsePolicy({
    tls,
    limits,
    http: {
      ...rest,
      ...(hsts === null ? {} : { hsts }),
      ...(maximumBodyOctets === null ? {} : { maximumBodyOctets }),
      rates: {
        ...(rates.caller === null ? {} : { caller: rates.caller }),
        ...(rates.endpoint === null ? {} : { endpoint: rates.endpoint }),
      },
    },
  });
  return { tls: read.tls, limits: read.limits, http: { ...read.http, boundTokens } };
}
