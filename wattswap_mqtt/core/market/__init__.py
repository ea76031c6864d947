"""The market of a community: orders, their matching, delivery and settlement.

pricing   quotes, tariffs, and the integers that energy and money are counted in
price_list  tariffs from a file
orders    what is asked for, and what became of it
entry     the rules an order has to meet before it is accepted
roster    the orders that are remembered, by meter and number
book      the orders that wait for a price, and their matching
delivery  matched energy on its way: what to ask of the homes, and whose the metered energy is
surplus   the automatic sale of what flows out beyond any order
ledger    who earned and spent what
tape      the trades, each told once, and candles
clearing  deliveries and money, by what is metered
journal   what happened: events to tell, orders to save
rows      what is stored
exchange  all of it together: what a community talks to
bots      traders without a home, for liquidity
reserve   the bids of homes below their reserve
"""
