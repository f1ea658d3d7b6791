import { parseSpiffeId, type SpiffeId } from '../../core/identity/spiffe-id.ts';
import type { Route } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { Problem } from '../../core/problems/problem.ts';
import { type CallPattern, hostNameOf, parseMethod, parsePathPattern, parsePatternHost } from '../../core/routes/call-pattern.ts';
import { PatternIndex } from '../../core/routes/pattern-index.ts';
import { parseCertificate } from '../../core/x509/certificate.ts';
import { hasOverride } from './call-override.ts';
import type { CallRequest } from './call-request.ts';
import type { ProvedIdentity } from './peer.ts';

type RouteRule = { readonly pattern: CallPattern; readonly spiffeIds: ReadonlySet<SpiffeId>; readonly sans: ReadonlySet<string> };

/** Who of an endpoint's allowed callers may make which calls; made once of its settings. */
export class RouteTable {
  readonly #index: PatternIndex<RouteRule>;

  /** @throws input-invalid, identity-malformed */
  constructor(routes: readonly Route[]) {
    if (routes.length > MAXIMUM_ROUTES)
      throw new Problem('input-invalid', `Cannot use routes: ${routes.length}, expected at most ${MAXIMUM_ROUTES}`);
    this.#index = new PatternIndex(routes.map(readRoute));
  }

  /** True if the first route that the call has names the caller, or none has it. What is ambiguous nobody may call. */
  allows(identity: ProvedIdentity, request: CallRequest): boolean {
    const { method } = request;
    const found = this.#index.find({ method, host: hostNameOf(request.authority()), target: request.target() });
    if (found.kind === 'ambiguous' || hasOverride(request)) return false;
    if (found.kind === 'none') return true;
    const { spiffeIds, sans } = found.rule;
    return spiffeIds.has(identity.spiffeId) || (sans.size > 0 && sansOf(identity).some((san) => sans.has(san)));
  }
}

function readRoute({ methods, host, path, callerSpiffeIds, callerSans }: Route): RouteRule {
  const odd = callerSans.find((san) => !/^(?:dns|uri):./.test(san));
  if (odd !== undefined)
    throw new Problem('input-invalid', `Cannot use route: caller ${JSON.stringify(odd.slice(0, 100))}, expected dns: or uri:`);
  return {
    pattern: { methods: methods.map(parseMethod), host: parsePatternHost(host), path: parsePathPattern(path) },
    spiffeIds: new Set(callerSpiffeIds.map(parseSpiffeId)),
    sans: new Set(callerSans),
  };
}

/** The names in the leaf, read once per identity. */
function sansOf(identity: ProvedIdentity): readonly string[] {
  const known = sansByIdentity.get(identity);
  if (known !== undefined) return known;
  const { dns, uri } = parseCertificate(identity.path[0]!).subjectAltNames;
  const sans = [...dns.map((name) => `dns:${name.toLowerCase()}`), ...uri.map((name) => `uri:${name}`)];
  sansByIdentity.set(identity, sans);
  return sans;
}

const sansByIdentity = new WeakMap<ProvedIdentity, readonly string[]>();
/** As many as a declaration can have. */
const MAXIMUM_ROUTES = 1_000;
