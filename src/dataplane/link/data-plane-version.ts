import { create } from '@bufbuild/protobuf';
import { DataPlaneVersionSchema } from '../../core/messages/generated/countersign/v1/enrollment_pb.ts';

/** What this program is and can do, as it says at the join and on each stream. */
export const DATA_PLANE_VERSION = create(DataPlaneVersionSchema, {
  version: '0.1.0',
  capabilities: ['drill/1', 'revoked-set/1', 'settings/1', 'trust-bundle/1'],
});
