package readmodel

// PartySQL is what a look-up on dial runs, for the test of its plan.
const PartySQL = partySQL
