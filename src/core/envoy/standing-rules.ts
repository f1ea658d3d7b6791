import { create, toBinary } from '@bufbuild/protobuf';
import type { Any } from '@bufbuild/protobuf/wkt';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { RevokedSet } from '../messages/generated/countersign/v1/settings_pb.ts';
import { RouteListSchema, RouteSchema } from '../messages/generated/envoy/config/route/v3/route_components_pb.ts';
import { HttpRequestHeaderMatchInputSchema } from '../messages/generated/envoy/type/matcher/v3/http_inputs_pb.ts';
import {
  ServerNameMatcher_DomainMatcherSchema as TableSchema,
  ServerNameMatcherSchema,
} from '../messages/generated/xds/type/matcher/v3/domain_pb.ts';
import type { Matcher_OnMatchSchema, MatcherSchema } from '../messages/generated/xds/type/matcher/v3/matcher_pb.ts';
import { allow, deny, perRoute } from './call-verdict.ts';
import { joinedMessage } from './joined-message.ts';
import { type Init, typedExtension } from './pack.ts';
import { FRESH_FIELD, SERIAL_FIELD } from './peer-fields.ts';

type Route = Init<typeof RouteSchema>;
type Matcher = Init<typeof MatcherSchema>;
type OnMatch = Init<typeof Matcher_OnMatchSchema>;

/**
 * Refuses calls on connections of certificates that were revoked or came to their end while these were open: one look into a table, however many are revoked.
 * An end is not forgotten, and a revocation is told no longer than that.
 */
export function standingRules(set: RevokedSet): Any {
  const known = rules.get(set);
  if (known !== undefined) return known;
  const map = { true: allow() };
  const input = fieldInput(FRESH_FIELD);
  const unlessEnded: Matcher = {
    matcherType: { case: 'matcherTree', value: { input, treeType: { case: 'exactMatchMap', value: { map } } } },
    onNoMatch: deny('expired'),
  };
  const others: OnMatch = { onMatch: { case: 'matcher', value: unlessEnded } };
  const made = perRoute(tableOf(set, deny('revoked'), others) ?? unlessEnded);
  rules.set(set, made);
  return made;
}

/** Gives calls on connections of revoked certificates another way than all others. Null where none is. */
export function unlessRevoked(set: RevokedSet, { revoked, routes }: { readonly revoked: Route; readonly routes: Route[] }): Matcher | null {
  const way: OnMatch = { onMatch: { case: 'action', value: typedExtension('route', RouteSchema, revoked) } };
  const others: OnMatch = { onMatch: { case: 'action', value: typedExtension('routes', RouteListSchema, { routes }) } };
  return tableOf(set, way, others);
}

/** As `%DOWNSTREAM_PEER_SERIAL%` writes it. */
export function serialText(serial: Uint8Array): string {
  const hex = Buffer.from(serial.buffer, serial.byteOffset, serial.length).toString('hex');
  const text = hex.replace(/^(?:00)+/, '');
  return text === '' ? '00' : text;
}

/**
 * One answer for all of them. Envoy has such a table for server names, found by their hash, and exact where there is no `*`: a map of serials would have the answer once
 * more with each.
 */
function tableOf(set: RevokedSet, found: OnMatch, onNoMatch: OnMatch): Matcher | null {
  const serials = serialsOf(set);
  if (serials.length === 0) return null;
  const answer = toBinary(TableSchema, create(TableSchema, { onMatch: found }));
  const table = new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(joinedMessage(serials, answer)).finish();
  const value = { typeUrl: `type.googleapis.com/${ServerNameMatcherSchema.typeName}`, value: table };
  const input = fieldInput(SERIAL_FIELD);
  const customMatch = { name: 'envoy.matching.custom_matchers.domain_matcher', typedConfig: value };
  return { matcherType: { case: 'matcherTree', value: { input, treeType: { case: 'customMatch', value: customMatch } } }, onNoMatch };
}

function fieldInput(headerName: string) {
  return typedExtension('field', HttpRequestHeaderMatchInputSchema, { headerName });
}

/** The serials alone, encoded; each stands once, or Envoy would take none. */
function serialsOf(set: RevokedSet): Uint8Array {
  const known = tables.get(set);
  if (known !== undefined) return known;
  const domains = [...new Set(set.certificates.map(({ serial }) => serialText(serial)))].toSorted();
  const made = toBinary(TableSchema, create(TableSchema, { domains }));
  tables.set(set, made);
  return made;
}

/** All ports of all Envoys have the same set. */
const tables = new WeakMap<RevokedSet, Uint8Array>();
const rules = new WeakMap<RevokedSet, Any>();
