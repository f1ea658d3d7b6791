import { ActionSchema, RBAC_Action } from '../messages/generated/envoy/config/rbac/v3/rbac_pb.ts';
import { RBACPerRouteSchema } from '../messages/generated/envoy/extensions/filters/http/rbac/v3/rbac_pb.ts';
import type { Matcher_OnMatchSchema, MatcherSchema } from '../messages/generated/xds/type/matcher/v3/matcher_pb.ts';
import type { RefusalReason } from '../tls/refusal-reason.ts';
import { type Init, pack, typedExtension } from './pack.ts';

type OnMatch = Init<typeof Matcher_OnMatchSchema>;

/** Lets a call pass this rule. */
export function allow(): OnMatch {
  return actionOf('allowed', RBAC_Action.ALLOW);
}

/** Refuses a call; the access log tells why by this word. */
export function deny(why: RefusalReason): OnMatch {
  return actionOf(why, RBAC_Action.DENY);
}

/** What a filter of calls holds them to on a route. */
export function perRoute(matcher: Init<typeof MatcherSchema>) {
  return pack(RBACPerRouteSchema, { rbac: { matcher } });
}

function actionOf(name: string, action: RBAC_Action): OnMatch {
  return { onMatch: { case: 'action', value: typedExtension('action', ActionSchema, { name, action }) } };
}
