import { create, toBinary } from '@bufbuild/protobuf';
import { OcspStapleSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import { OCSP_STAPLE_TYPE } from '../../core/messages/type-urls.ts';
import type { Node } from '../data-plane/peer.ts';
import type { ResourceSource } from './resource-source.ts';
import { type Changes, ownSource } from './sources.ts';

/** What the node staples to the certificate by which it is connected. `read` is of control/ca's staples: the octets of an OCSP response, or null. */
export function stapleSource(deps: {
  readonly read: (node: Node) => Promise<Uint8Array | null>;
  readonly changes: Changes;
}): ResourceSource {
  return ownSource({
    typeUrl: OCSP_STAPLE_TYPE,
    changes: deps.changes,
    async read(node) {
      const response = await deps.read(node);
      return response === null ? null : { name: node.proxyId, octets: toBinary(OcspStapleSchema, create(OcspStapleSchema, { response })) };
    },
  });
}
