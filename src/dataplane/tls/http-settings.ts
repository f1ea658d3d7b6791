import { type Inbound, Protocol } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { type ChannelRules, parseAnswerRules } from './answer-rules.ts';
import { BoundTokens } from './bound-tokens.ts';
import { CallRates } from './call-rates.ts';
import { RouteTable } from './route-table.ts';

/** What an endpoint makes of HTTP beyond who may connect; compiled once. */
export type HttpSettings = {
  /** Null where every allowed caller may make every call. */
  readonly routes: RouteTable | null;
  readonly answers: ChannelRules;
  /** A call for another host than the server name of its connection is refused. */
  readonly hostMatchesSni: boolean;
  /** Null where no token is looked at. */
  readonly tokens: BoundTokens | null;
  /** Null where callers call as often as they like. */
  readonly rates: CallRates | null;
  /** Octets of a call's body; infinite where any length is taken. */
  readonly maximumBody: number;
  /** Lower-case names of identity fields that the service does not get. */
  readonly omittedIdentity: ReadonlySet<string>;
};

/** @throws input-invalid, identity-malformed */
export function parseHttpSettings(inbound: Inbound): HttpSettings {
  return {
    routes: inbound.routes.length === 0 ? null : new RouteTable(inbound.routes),
    answers: parseAnswerRules(inbound.answerFields),
    hostMatchesSni: inbound.hostMatchesSni,
    rates: ratesOf(inbound),
    tokens: inbound.boundTokens === undefined ? null : new BoundTokens(inbound.boundTokens),
    maximumBody:
      inbound.protocol === Protocol.HTTP && inbound.maximumBodyOctets > 0n ? Number(inbound.maximumBodyOctets) : Number.POSITIVE_INFINITY,
    omittedIdentity: new Set(inbound.omittedIdentityFields),
  };
}

function ratesOf({ callerRate, endpointRate }: Inbound): CallRates | null {
  return callerRate === undefined && endpointRate === undefined ? null : new CallRates(callerRate ?? null, endpointRate ?? null);
}
