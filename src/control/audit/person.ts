/** A person named in the data of an entry: the leaf holds a salted hash, and the clear name stands in a table that can be erased. */
export class Person {
  readonly name: string;

  constructor(name: string) {
    this.name = name;
  }
}
