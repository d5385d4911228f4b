"""The grammar of Prism for an LALR(1) parser.

The tokens come from the lexer and the bracket pass; `%declare` names them. Operators of all levels between `?:` and
unary stand in one flat `chain`; the builder sorts them by precedence, which keeps the tables small and the parse fast.
Where a statement could go on or end, going on wins (shift), which is the greedy continuation of the language.
"""

from __future__ import annotations

GRAMMAR = r"""
start: stmts
stmts: -> new_list
     | stmts stmt -> add_to_list

?stmt: SEMI -> empty
     | function
     | RETURN -> bare_return
     | RETURN SEMI -> bare_return
     | RETURN expr -> return_value
     | RETURN expr SEMI -> return_value
     | THROW expr -> throw_value
     | THROW expr SEMI -> throw_value
     | let
     | let SEMI -> first
     | UNCERTAIN IF LPAR expr RPAR LBLOCK branches RBRACE -> uncertain_if
     | UNCERTAIN WHILE expr LBLOCK branches RBRACE -> uncertain_while
     | UNCERTAIN FOR forhead LBLOCK branches RBRACE -> uncertain_for
     | IF LPAR expr RPAR stmt -> if_then
     | IF LPAR expr RPAR stmt ELSE stmt -> if_else
     | FOR NAME IN expr stmt -> for_in
     | FOR NAME COMMA NAME IN expr stmt -> for_index_in
     | FOR forhead stmt -> for_loop
     | WHILE expr stmt -> while_loop
     | DO stmt WHILE expr -> do_while
     | IN CONTEXT label block -> in_context
     | IN CONTEXT label block THIN label -> in_context
     | AGENTS LAGENTS agents RBRACE -> agents_block
     | BREAK -> break_loop
     | CONTINUE -> continue_loop
     | TRY block handler -> try_catch
     | TRY block FINALLY block -> try_finally
     | TRY block handler FINALLY block -> try_both
     | import
     | EXPORT exported -> export
     | EXPORT exported SEMI -> export
     | pattern EQ expr -> destructure
     | pattern EQ expr SEMI -> destructure
     | pattern ATTACH expr EQ expr -> destructure_above
     | pattern ATTACH expr EQ expr SEMI -> destructure_above
     | assign
     | assign SEMI -> first
     | NAME AUG expr -> assign
     | NAME AUG expr SEMI -> assign
     | block
     | expr -> expression
     | expr SEMI -> expression

block: LBLOCK stmts RBRACE
label: NAME | STRING
function: FUNCTION NAME LPARAMS params RPAR block -> function
        | ASYNC FUNCTION NAME LPARAMS params RPAR block -> async_function
        | FUNCTION NAME LPARAMS params RPAR ATTACH expr block -> function_above
        | ASYNC FUNCTION NAME LPARAMS params RPAR ATTACH expr block -> async_function_above
let: LET NAME -> let_null
   | LET NAME EQ expr -> let_name
   | LET pattern EQ expr -> let_pattern
assign: NAME EQ expr
branches: -> new_list
        | branches band block -> add_branch
band: HIGH | MEDIUM | LOW | DEFAULT
handler: CATCH block -> catch_all
       | CATCH LPAR NAME RPAR block -> catch_name
forhead: forstart SEMI forpart SEMI forupdate
forstart: -> nothing
        | let -> first
        | forupdate_some -> first
forpart: -> nothing
       | expr -> first
forupdate: -> nothing
         | forupdate_some -> first
?forupdate_some: assign
               | expr -> expression
agents: -> new_list
      | agents agent -> add_to_list
      | agents agent COMMA -> add_to_list
      | agents agent SEMI -> add_to_list
agent: NAME COLON AGENT LAGENT fields RBRACE
     | NAME COLON LAGENT fields RBRACE
fields: -> new_list
      | fields field -> add_to_list
      | fields field COMMA -> add_to_list
      | fields field SEMI -> add_to_list
field: NAME COLON expr
     | STRING COLON expr

import: IMPORT STAR AS NAME FROM STRING -> import_all
      | IMPORT specs FROM STRING -> import_specs
      | IMPORT NAME FROM STRING -> import_default
      | IMPORT NAME COMMA specs FROM STRING -> import_both
exported: DEFAULT expr -> export_default
        | STAR FROM STRING -> export_all
        | specs -> export_specs
        | specs FROM STRING -> export_specs_from
        | let -> export_statement
        | assign -> export_statement
        | function -> export_statement
specs: LSPEC RBRACE -> no_specs
     | LSPEC speclist RBRACE -> second
     | LSPEC speclist COMMA RBRACE -> second
speclist: spec -> list_of
        | speclist COMMA spec -> add_after_comma
spec: NAME -> spec
    | NAME AS NAME -> spec
    | DEFAULT AS NAME -> spec
    | NAME AS DEFAULT -> spec

params: -> params
      | paramlist -> params
      | paramlist COMMA -> params
      | paramlist COMMA ELLIPSIS target -> params_rest
      | paramlist COMMA ELLIPSIS target COMMA -> params_rest
      | ELLIPSIS target -> only_rest
      | ELLIPSIS target COMMA -> only_rest
paramlist: target -> list_of
         | paramlist COMMA target -> add_after_comma
?target: NAME -> bind
       | pattern
pattern: LPA pelems RSQB -> array_pattern
       | LPO pprops RBRACE -> object_pattern
pelems: -> new_list
      | plist -> first
      | pelem -> list_of
      | plist pelem -> add_to_list
plist: pelem COMMA -> list_of
     | COMMA -> list_of_none
     | plist pelem COMMA -> add_to_list
     | plist COMMA -> add_none
pelem: target -> item
     | target ATTACH expr -> item
     | ELLIPSIS NAME -> rest
pprops: -> new_list
      | pproplist -> first
      | pproplist COMMA -> first
pproplist: pprop -> list_of
         | pproplist COMMA pprop -> add_after_comma
pprop: NAME -> prop
     | NAME EQ ternary -> prop_default
     | NAME ATTACH expr -> prop_above
     | NAME ATTACH expr EQ ternary -> prop_above_default
     | NAME COLON target -> prop_as
     | NAME COLON target EQ ternary -> prop_as_default
     | NAME COLON target ATTACH expr -> prop_as_above
     | NAME COLON target ATTACH expr EQ ternary -> prop_as_above_default
     | ELLIPSIS NAME -> rest

?expr: ternary
     | expr PIPE ternary -> pipe
?ternary: conf
        | linked
        | conf QMARK expr COLON expr -> conditional
        | linked QMARK expr COLON expr -> conditional
linked: chain LINK chain -> link
      | linked LINK chain -> link_more
?conf: chain -> resolve
     | conf ATTACH unary -> attach
chain: unary -> list_of
     | chain BINOP unary -> add_operator
     | chain MINUS unary -> add_operator
?unary: pow
      | PREFIX unary -> prefix
      | MINUS unary -> prefix
?pow: postfix
    | postfix POW unary -> power
?postfix: primary
        | postfix LCALL args RPAR -> call
        | postfix DOT NAME -> member
        | postfix LINDEX expr RSQB -> index
args: -> new_list
    | arglist -> first
    | arglist COMMA -> first
arglist: arg -> list_of
       | arglist COMMA arg -> add_after_comma
?arg: expr
    | ELLIPSIS expr -> spread
?primary: NUMBER -> number
        | STRING -> string
        | TRUE -> true
        | FALSE -> false
        | NULL -> null
        | HOLE -> hole
        | NAME -> name
        | NAME ARROW body -> lambda_one
        | LPARAMS params RPAR ARROW body -> lambda_many
        | LPAR expr RPAR -> second
        | LARR RSQB -> no_array
        | LARR elem RSQB -> array_one
        | LARR elist RSQB -> array_list
        | LARR elist elem RSQB -> array_more
        | LOBJ RBRACE -> no_object
        | LOBJ props RBRACE -> object
        | LOBJ props COMMA RBRACE -> object
        | MATCH expr LMATCH arms RBRACE -> match
        | ISTART parts IEND -> interpolation
?body: block
     | ternary
elist: elem COMMA -> list_of
     | COMMA -> list_of_none
     | elist elem COMMA -> add_to_list
     | elist COMMA -> add_none
?elem: arg
props: prop -> list_of
     | props COMMA prop -> add_after_comma
prop: NAME -> entry_short
    | NAME COLON expr -> entry
    | STRING COLON expr -> entry
    | ELLIPSIS expr -> spread
parts: -> new_list
     | parts ITEXT -> add_text
     | parts IOPEN expr ICLOSE -> add_part

arms: -> new_list
    | armlist -> first
    | armlist separator -> first
armlist: arm -> list_of
       | armlist separator arm -> add_after_comma
separator: COMMA | SEMI
arm: mpat guard FATARM armbody
?armbody: block
        | expr
guard: -> guard
     | ATTACH expr -> guard_above
     | IF expr -> guard_if
     | ATTACH expr IF expr -> guard_both
?mpat: NUMBER -> literal
     | MINUS NUMBER -> negative
     | STRING -> literal
     | TRUE -> literal_true
     | FALSE -> literal_false
     | NULL -> literal_null
     | HOLE -> wild
     | NAME -> bind
     | LMPA melems RSQB -> array_pattern
     | LMPO mprops RBRACE -> object_pattern
melems: -> new_list
      | mlist -> first
      | melem -> list_of
      | mlist melem -> add_to_list
mlist: melem COMMA -> list_of
     | COMMA -> list_of_none
     | mlist melem COMMA -> add_to_list
     | mlist COMMA -> add_none
melem: mpat -> item
     | mpat ATTACH expr -> item
     | ELLIPSIS NAME -> rest
mprops: -> new_list
      | mproplist -> first
      | mproplist COMMA -> first
mproplist: mprop -> list_of
         | mproplist COMMA mprop -> add_after_comma
mprop: NAME -> prop
     | NAME ATTACH expr -> prop_above
     | NAME COLON mpat -> prop_as
     | NAME COLON mpat ATTACH expr -> prop_as_above
     | ELLIPSIS NAME -> rest

%declare SEMI RETURN THROW UNCERTAIN IF ELSE LPAR RPAR LBLOCK RBRACE WHILE FOR IN COMMA DO CONTEXT THIN AGENTS LAGENTS
%declare BREAK CONTINUE TRY CATCH FINALLY EXPORT IMPORT FROM AS STAR LSPEC DEFAULT HIGH MEDIUM LOW EQ ATTACH NAME AUG
%declare FUNCTION ASYNC LPARAMS LET STRING AGENT LAGENT COLON ELLIPSIS LPA LPO RSQB PIPE QMARK BINOP MINUS PREFIX POW
%declare LCALL DOT LINDEX NUMBER TRUE FALSE NULL HOLE ARROW LARR LOBJ MATCH LMATCH ISTART IEND ITEXT IOPEN ICLOSE
%declare LINK FATARM LMPA LMPO
"""
