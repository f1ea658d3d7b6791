import { create } from '@bufbuild/protobuf';
import { type AnonymousException, AnonymousExceptionSchema } from '../../core/messages/generated/countersign/v1/settings_pb.ts';
import type { Instant } from '../../core/time/instant.ts';
import type { ExceptionRecord } from '../inventory/record.ts';

/** Who is let in at an endpoint without a certificate. What has ended by now is left out; what ends later the proxy ends itself. */
export function compileAnonymous(exceptions: readonly ExceptionRecord[], now: Instant): AnonymousException[] {
  return exceptions
    .filter(({ until }) => until > now)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .map(({ name, until, anonymous }) =>
      create(AnonymousExceptionSchema, {
        name,
        untilMs: BigInt(until),
        sources: [...anonymous!.sources],
        calls: anonymous!.calls.map(({ methods, host, path }) => ({ methods: [...methods], host, path })),
        serverName: anonymous!.serverName,
      }),
    );
}
