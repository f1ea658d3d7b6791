import { type DescMessage, type DescMethod, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import type { MethodDefinition } from '@grpc/grpc-js';

/** A message, or its encoding that was made once for many receivers. */
export type Outgoing<D extends DescMessage> = MessageShape<D> | Uint8Array;

/** What grpc-js needs to know of one method of a protobuf-es service, on either side of the wire. */
export function methodDefinition<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
): MethodDefinition<Outgoing<I>, Outgoing<O>> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
    responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
    requestSerialize: (message) => encode(method.input, message),
    requestDeserialize: (octets) => fromBinary(method.input, octets),
    responseSerialize: (message) => encode(method.output, message),
    responseDeserialize: (octets) => fromBinary(method.output, octets),
  };
}

function encode<D extends DescMessage>(schema: D, message: Outgoing<D>): Buffer {
  const octets = message instanceof Uint8Array ? message : toBinary(schema, message);
  return Buffer.from(octets.buffer, octets.byteOffset, octets.byteLength);
}

/** Largest message that a control plane takes: a report of 10,000 counts is about 2 MiB. */
export const MAXIMUM_REQUEST_OCTETS = 4 * 1024 * 1024;
/** Largest message that a data plane takes: a revoked set of 200,000 certificates is about 12 MiB. */
export const MAXIMUM_RESPONSE_OCTETS = 16 * 1024 * 1024;
