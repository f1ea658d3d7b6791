import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { type Any, anyPack, type Duration, DurationSchema } from '@bufbuild/protobuf/wkt';

/** What a message is made of, and no message. */
export type Init<D extends DescMessage> = Exclude<MessageInitShape<D>, { readonly $typeName: string }>;

/** A message inside an Any, as Envoy's extensions are configured. */
export function pack<D extends DescMessage>(schema: D, message: MessageInitShape<D>): Any {
  return anyPack(schema, create(schema, message));
}

/** An extension by name: the form of filters, transport sockets and access loggers. */
export function extension<D extends DescMessage>(name: string, schema: D, message: MessageInitShape<D>) {
  return { name, configType: { case: 'typedConfig' as const, value: pack(schema, message) } };
}

/** The other form, of what matchers and principals are extended by. */
export function typedExtension<D extends DescMessage>(name: string, schema: D, message: MessageInitShape<D>) {
  return { name, typedConfig: pack(schema, message) };
}

/** A time in milliseconds as protobuf has it. */
export function milliseconds(ms: number): Duration {
  return create(DurationSchema, { seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 });
}
