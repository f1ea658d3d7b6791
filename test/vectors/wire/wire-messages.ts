import type { DescMessage } from '@bufbuild/protobuf';
import { file_countersign_v1_enrollment } from '../../../src/core/messages/generated/countersign/v1/enrollment_pb.ts';
import { file_countersign_v1_settings } from '../../../src/core/messages/generated/countersign/v1/settings_pb.ts';
import { file_countersign_v1_telemetry } from '../../../src/core/messages/generated/countersign/v1/telemetry_pb.ts';
import { file_envoy_service_discovery_v3_discovery } from '../../../src/core/messages/generated/envoy/service/discovery/v3/discovery_pb.ts';

/** Every message that control plane and data plane exchange, by its full name. Names are facts: they never change. */
export const wireMessages: ReadonlyMap<string, DescMessage> = new Map(
  [
    ...file_countersign_v1_enrollment.messages,
    ...file_countersign_v1_settings.messages,
    ...file_countersign_v1_telemetry.messages,
    ...file_envoy_service_discovery_v3_discovery.messages,
  ].map((schema) => [schema.typeName, schema]),
);
