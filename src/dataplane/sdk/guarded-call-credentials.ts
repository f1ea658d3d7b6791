import { CallCredentials, type Metadata } from '@grpc/grpc-js';

/** True while a call could leave in plaintext. */
export type IsInClear = () => boolean;

/** Call credentials that are neither asked for nor sent where somebody on the way could read them; a call that brings them fails there. */
export function guardCallCredentials(credentials: CallCredentials, isInClear: IsInClear): CallCredentials {
  // grpc-js knows those of a call that brings none by their class.
  return credentials instanceof Empty ? credentials : new GuardedCallCredentials(credentials, isInClear);
}

class GuardedCallCredentials extends CallCredentials {
  readonly #credentials: CallCredentials;
  readonly #isInClear: IsInClear;

  constructor(credentials: CallCredentials, isInClear: IsInClear) {
    super();
    this.#credentials = credentials;
    this.#isInClear = isInClear;
  }

  override async generateMetadata(options: Parameters<CallCredentials['generateMetadata']>[0]): Promise<Metadata> {
    this.#check();
    const metadata = await this.#credentials.generateMetadata(options);
    // The stage may have changed while they were fetched.
    this.#check();
    return metadata;
  }

  override compose(other: CallCredentials): CallCredentials {
    return guardCallCredentials(this.#credentials.compose(other), this.#isInClear);
  }

  override _equals(other: CallCredentials): boolean {
    return other instanceof GuardedCallCredentials && other.#credentials._equals(this.#credentials);
  }

  #check(): void {
    if (this.#isInClear())
      throw new Error('Cannot send call credentials: the path is in plaintext at this stage, expected a later stage of the rollout');
  }
}

const Empty = CallCredentials.createEmpty().constructor as typeof CallCredentials;
