import { type PolicySchema, type PrincipalSchema, RBAC_Action } from '../messages/generated/envoy/config/rbac/v3/rbac_pb.ts';
import { RBACPerRouteSchema } from '../messages/generated/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts';
import { UriSanInputSchema } from '../messages/generated/envoy/extensions/matching/common_inputs/ssl/v3/ssl_inputs_pb.ts';
import type { MatcherSchema } from '../messages/generated/xds/type/matcher/v3/matcher_pb.ts';
import type { RefusalReason } from '../tls/refusal-reason.ts';
import { allow, deny, perRoute } from './call-verdict.ts';
import type { CallerRules } from './caller-rules.ts';
import { type Init, pack, typedExtension } from './pack.ts';

type Matcher = Init<typeof MatcherSchema>;
type Principal = Init<typeof PrincipalSchema>;

/** Filters that stand in the way of every call, in their order. What they hold is said in routes, which act on the next call of an open connection. */
export const HOST_FILTER = 'countersign.host';
export const REVOKED_FILTER = 'countersign.revoked';
export const ADMISSION_FILTER = 'countersign.admission';
export const ROUTE_FILTER = 'countersign.route';

/** Refuses calls of whoever is no allowed caller any more, or is suspended. */
export function admissionRules({ callers, refusedSuspended, unprovedSuspended, strangers }: CallerRules) {
  const input = typedExtension('identity', UriSanInputSchema, {});
  const entries = [
    ...refusedSuspended.map((caller) => [caller, deny('suspended')] as const),
    ...(strangers === 'refused' ? [...callers, ...unprovedSuspended].map((caller) => [caller, allow()] as const) : []),
  ];
  const otherwise = strangers === 'refused' ? deny('wrong-identity') : allow();
  return perRoute(entries.length === 0 ? { onNoMatch: otherwise } : treeOf(input, entries, otherwise));
}

/** Refuses every call. */
export function nobodyRules() {
  return perRoute({ onNoMatch: deny('wrong-identity') });
}

/** Refuses the calls of a route to everybody enforced who is not among `allowed`. */
export function routeRules(allowed: readonly string[], { door, enforced }: CallerRules) {
  const isAllowed = orIds(allowed.map(principalNamed));
  const notAllowed: Principal = isAllowed === null ? ANY : { identifier: { case: 'notId', value: isAllowed } };
  const subject = door === 'closed' ? notAllowed : andIds([orIds(enforced.map(principalNamed)) ?? NONE, notAllowed]);
  return pack(RBACPerRouteSchema, {
    rbac: {
      rules: { action: RBAC_Action.DENY, policies: { [reason('route')]: { permissions: [ANY_PERMISSION], principals: [subject] } } },
    },
  });
}

/** Refuses calls for another host than the server name of their connection; a connection that named none has none to differ from. */
export function hostRules() {
  const host = attribute('request', 'host');
  const name = attribute('connection', 'requested_server_name');
  const isSame = call('_==_', [host, name]);
  const isSameWithPort = methodCall(host, 'startsWith', [call('_+_', [name, text(':')])]);
  const condition = call('!_', [call('_||_', [call('_==_', [name, text('')]), call('_||_', [isSame, isSameWithPort])])]);
  const policy: Init<typeof PolicySchema> = {
    permissions: [ANY_PERMISSION],
    principals: [ANY],
    condition,
    celConfig: { enableStringConcat: true },
  };
  return pack(RBACPerRouteSchema, { rbac: { rules: { action: RBAC_Action.DENY, policies: { [reason('host-mismatch')]: policy } } } });
}

type OnMatch = NonNullable<Matcher['onNoMatch']>;

function treeOf(
  input: NonNullable<Extract<NonNullable<Matcher['matcherType']>, { case: 'matcherTree' }>['value']>['input'],
  entries: readonly (readonly [string, OnMatch])[],
  onNoMatch: OnMatch,
): Matcher {
  const map = Object.fromEntries(entries);
  return { matcherType: { case: 'matcherTree', value: { input, treeType: { case: 'exactMatchMap', value: { map } } } }, onNoMatch };
}

/** `authenticated` holds on resumed sessions too; behind a closed door only what was proved is shown. */
function principalNamed(caller: string): Principal {
  const value = caller.startsWith('dns:') || caller.startsWith('uri:') ? caller.slice('dns:'.length) : caller;
  return { identifier: { case: 'authenticated', value: { principalName: { matchPattern: { case: 'exact', value } } } } };
}

function orIds(ids: readonly Principal[]): Principal | null {
  return ids.length === 0 ? null : { identifier: { case: 'orIds', value: { ids: [...ids] } } };
}

function andIds(ids: readonly Principal[]): Principal {
  return { identifier: { case: 'andIds', value: { ids: [...ids] } } };
}

/** The word that the access log tells a refusal by. */
function reason(word: RefusalReason): RefusalReason {
  return word;
}

type Expr = NonNullable<Init<typeof PolicySchema>['condition']>;

function attribute(group: string, field: string): Expr {
  return { exprKind: { case: 'selectExpr', value: { operand: { exprKind: { case: 'identExpr', value: { name: group } } }, field } } };
}

function text(value: string): Expr {
  return { exprKind: { case: 'constExpr', value: { constantKind: { case: 'stringValue', value } } } };
}

function call(operator: string, args: readonly Expr[]): Expr {
  return { exprKind: { case: 'callExpr', value: { function: operator, args: [...args] } } };
}

function methodCall(target: Expr, name: string, args: readonly Expr[]): Expr {
  return { exprKind: { case: 'callExpr', value: { target, function: name, args: [...args] } } };
}

const ANY: Principal = { identifier: { case: 'any', value: true } };
const NONE: Principal = { identifier: { case: 'notId', value: ANY } };
const ANY_PERMISSION = { rule: { case: 'any', value: true } } as const;
