"""CEL, the Common Expression Language: parsed, checked and evaluated within an exact budget.

From the bottom up: `errors`, `values` (kinds, equality, sizes), `budget`; `nodes` (the syntax tree), `tokens`,
`parsing`; `operators`, `functions` (the tables); `checking` (kinds before a run), `evaluation`, `program`.
"""
