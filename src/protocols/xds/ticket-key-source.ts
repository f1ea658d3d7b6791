import { create, toBinary } from '@bufbuild/protobuf';
import type { HeldTicketKeys } from '../../control/fleet/ticket-keyring.ts';
import { readTicketSecret } from '../../control/fleet/ticket-secret.ts';
import { TicketKeysSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { TICKET_KEYS_TYPE } from '../../core/messages/type-urls.ts';
import type { Node } from '../data-plane/peer.ts';
import type { ResourceSource } from './resource-source.ts';
import { type Changes, ownSource } from './sources.ts';

/** The ticket keys of the node's own identity, for the nodes that serve. `read` is `keysOf` of control/fleet's keyring. */
export function ticketKeySource(deps: { readonly read: (node: Node) => HeldTicketKeys | null; readonly changes: Changes }): ResourceSource {
  return ownSource({
    typeUrl: TICKET_KEYS_TYPE,
    changes: deps.changes,
    async read(node) {
      const held = deps.read(node);
      if (held === null) return null;
      const { keyId, spiffeId, secret } = held;
      const { sealing, accepted } = readTicketSecret(secret);
      const octets = toBinary(TicketKeysSchema, create(TicketKeysSchema, { spiffeId, sealing, accepted: [...accepted] }));
      // Not a digest of the keys: versions stand in logs.
      return { name: node.proxyId, version: keyId, octets };
    },
  });
}
